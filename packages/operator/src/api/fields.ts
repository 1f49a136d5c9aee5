/**
 * Building blocks of the resources' schemas. What zod cannot say and the API server can (CEL rules, quantities, opaque Kubernetes
 * types) is put into the schema's metadata, which becomes part of the custom resource definition as it is.
 */
import { z } from 'zod';

/** A CEL rule that the API server holds a value against, and the sentence it refuses with. */
export interface CelRule {
  readonly rule: string;
  readonly message: string;
}

/** Metadata of a schema that the API server evaluates. Zod itself knows nothing of these rules. */
export const rules = (...validations: readonly CelRule[]) => ({ 'x-kubernetes-validations': validations });

/** What may not change once it is set. */
export const immutable = (what: string) => rules({ rule: 'self == oldSelf', message: `${what} cannot be changed` });

const quantityPattern = /^(\d+(\.\d+)?|\.\d+)([eE][+-]?\d+|[KMGTPE]i|[numkMGTPE])?$/;

/** A Kubernetes quantity, `500m` or `10Gi`; a bare number is taken as well. */
export const quantity = () =>
  z
    .union([z.string().regex(quantityPattern), z.number()])
    .transform(String)
    .meta({ 'x-kubernetes-int-or-string': true, pattern: quantityPattern.source });

export const positiveInt = (maximum = 2_147_483_647) => z.int().min(1).max(maximum);

export const port = () => z.int().min(1).max(65_535);

export const nodePort = () => z.int().min(1_024).max(65_535);

/** The name of an object in the resource's own namespace. */
export const objectName = () =>
  z
    .string()
    .min(1)
    .max(253)
    .regex(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/);

/** A secret in the resource's own namespace. */
export const secretRef = () => z.strictObject({ name: objectName() });

export const httpUrl = () =>
  z
    .string()
    .max(2_048)
    .regex(/^https?:\/\/[^\s/?#]+\/?$/);

/** A type of Kubernetes' own that is handed on as it is; the API server checks it where it is used. */
export const opaque = () => z.looseObject({}).meta({ 'x-kubernetes-preserve-unknown-fields': true });

export const annotations = () => z.record(z.string(), z.string());

/** CPU and memory, as containers have them. */
export const resources = () =>
  z.strictObject({
    requests: z.record(z.string(), quantity()).optional(),
    limits: z.record(z.string(), quantity()).optional(),
  });

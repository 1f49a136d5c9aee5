/** Who an object belongs to: the one controlling owner, by uid, so that a namesake of a deleted owner owns nothing. */
import type { Kind, KubeObject, ObjectMeta, OwnerReference, Stored } from './kube-object.ts';

/** A reference that makes `owner` the controller of what carries it. Deleting the owner deletes it. */
export function controllerReference<T extends KubeObject>(kind: Kind<T>, owner: Stored<T>): OwnerReference {
  return {
    apiVersion: kind.apiVersion,
    kind: kind.kind,
    name: owner.metadata.name,
    uid: owner.metadata.uid,
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The reference to the object's controller, when it has one. */
export function controllerOf({ metadata }: { readonly metadata?: ObjectMeta }): OwnerReference | undefined {
  return metadata?.ownerReferences?.find(({ controller }) => controller === true);
}

export function isControlledBy(
  object: { readonly metadata?: ObjectMeta },
  owner: { readonly metadata: { readonly uid: string } },
): boolean {
  return controllerOf(object)?.uid === owner.metadata.uid;
}

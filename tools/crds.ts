/** The files made of the operator's custom resource definitions: for kubectl in `crds/`, and as templates of the chart. */
import { customResourceDefinitions } from '@kafscale/operator';
import { stringify } from 'yaml';

const note = '# Made from packages/operator/src/api by `npm run generate-crds`.\n';

const yaml = (value: unknown): string => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false });

/** Path below the repository and text of each. */
export const crdFiles = () =>
  customResourceDefinitions().flatMap((definition) => {
    const { plural } = definition.spec.names;
    return [
      { path: `crds/kafscale.io_${plural}.yaml`, text: note + yaml(definition) },
      { path: `charts/kafscale/templates/crds/${plural}.yaml`, text: note + chartTemplate(definition) },
    ];
  });

/** Helm upgrades what lies among the templates, as it never does with its own folder for definitions. */
function chartTemplate({ apiVersion, kind, metadata, spec }: ReturnType<typeof customResourceDefinitions>[number]) {
  // Braces of a description would be taken for an action of the template.
  const literal = yaml({ spec }).replaceAll(/\{\{|\}\}/g, (braces) => `{{ "${braces}" }}`);
  return `{{- if .Values.crds.install }}
apiVersion: ${apiVersion}
kind: ${kind}
metadata:
  name: ${metadata.name}
  labels:
    {{- include "kafscale.labels" . | nindent 4 }}
  {{- if .Values.crds.keep }}
  annotations:
    # Without it, uninstalling would delete every cluster and topic.
    helm.sh/resource-policy: keep
  {{- end }}
${literal}{{- end }}
`;
}

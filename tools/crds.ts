/** The files in `crds/`: the operator's custom resource definitions, printed. */
import { customResourceDefinitions } from '@kafscale/operator';
import { stringify } from 'yaml';

const note = '# Made from packages/operator/src/api by `npm run generate-crds`.\n';

/** Path below the repository and text of each. */
export const crdFiles = () =>
  customResourceDefinitions().map((definition) => ({
    path: `crds/kafscale.io_${definition.spec.names.plural}.yaml`,
    text: note + stringify(definition, { lineWidth: 0, aliasDuplicateObjects: false }),
  }));

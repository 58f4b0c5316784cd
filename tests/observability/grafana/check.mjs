// Checks a dashboard against the types of Grafana's own schema: node check.mjs DASHBOARD. Grafana publishes them for
// TypeScript alone, so the JSON becomes a literal that the compiler checks; it refuses unknown members too.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const here = fileURLToPath(new URL('.', import.meta.url));
const dashboard = readFileSync(process.argv[2], 'utf8');
const panelTypes = { stat: 'StatPanelCfg', timeseries: 'TimeSeriesPanelCfg', heatmap: 'HeatmapPanelCfg', table: 'TablePanelCfg' };
const kinds = Object.keys(panelTypes);

const imports = kinds.map(
  (kind) => `import type * as ${kind} from '@grafana/schema/dist/esm/raw/composable/${kind}/panelcfg/x/${panelTypes[kind]}_types.gen';`,
);
const panel = (kind) => {
  const custom = kind === 'stat' ? '{}' : `Partial<${kind}.FieldConfig>`;
  // what is left out has a default
  return `(Omit<Panel, 'type' | 'options' | 'fieldConfig' | 'targets'> & { type: '${kind}'; description: string; targets: Query[];
    options: Partial<${kind}.Options>; fieldConfig: Omit<FieldConfigSource, 'defaults'> & {
      defaults: Omit<FieldConfig, 'custom'> & { custom?: ${custom} } } })`;
};
writeFileSync(
  `${here}dashboard.ts`,
  `import type { Dashboard, DataSourceRef, FieldConfig, FieldConfigSource, Panel, RowPanel } from '@grafana/schema';
${imports.join('\n')}
// JSON has the values of enums, not their names
type Json<T> = T extends string ? \`\${T}\` : T extends number | boolean | null | undefined ? T
  : T extends (infer E)[] ? Json<E>[] : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
interface Query { datasource: DataSourceRef; editorMode: 'code'; expr: string; format?: 'heatmap' | 'table'; instant: boolean;
  legendFormat: string; range: boolean; refId: string }
type Known = ${kinds.map(panel).join('\n  | ')};
const dashboard: Json<Omit<Dashboard, 'panels' | 'templating'>> & { panels: (Json<Known> | Json<RowPanel>)[];
  templating: { list: Json<NonNullable<NonNullable<Dashboard['templating']>['list']>[number]>[] } } =
${dashboard};
export default dashboard;
`,
);
try {
  execFileSync(`${here}node_modules/.bin/tsc`, ['--strict', '--noEmit', '--skipLibCheck', '--module', 'esnext', '--moduleResolution', 'bundler', 'dashboard.ts'], { cwd: here, stdio: 'pipe' });
} catch (failure) {
  console.error(`${failure.stdout}${failure.stderr}`);
  process.exit(1);
}
console.log(`${process.argv[2]} fits Grafana's schema`);

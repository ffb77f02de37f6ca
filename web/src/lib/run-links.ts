// Addresses of the pages of artefacts, and of the bytes themselves. Names are encoded one by one: they
// may contain whatever a path gives a meaning to.

import { address, type Query } from './api';
import { runKey, type RunName } from './artefacts';
import { RUNS } from './routes';

const joined = (...names: string[]): string =>
  names.map((name) => name.split('/').map(encodeURIComponent).join('/')).join('/');

export const runGroupsLink = (query: Query = {}): string => address(RUNS, query);
export const runsLink = (query: Query = {}): string => address(RUNS, { view: 'runs', ...query });
export const runGroupLink = (group: string, query: Query = {}): string =>
  address(`${RUNS}/${encodeURIComponent(group)}`, query);
export const runLink = ({ group, run }: RunName, query: Query = {}): string =>
  address(`${RUNS}/${joined(group, run)}`, query);
export const fileLink = ({ group, run }: RunName, file: string, query: Query = {}): string =>
  address(`${RUNS}/${joined(group, run, file)}`, query);
export const compareLink = (left: RunName | string, right: RunName | string): string =>
  address(RUNS, { view: 'compare', left: keyOf(left), right: keyOf(right) });

/** The bytes of a file, of its newest version unless another one is named. */
export const downloadLink = (
  { group, run }: RunName, file: string, version: string | null = null,
): string => address(`/download/${joined(group, run, file)}`, { version });
/** All files of a run as one tar archive. */
export const archiveLink = ({ group, run }: RunName): string => `/download/${joined(group, run)}/`;

const keyOf = (run: RunName | string): string => (typeof run === 'string' ? run : runKey(run));

/** `group/run` as the address of a comparison has it; null when it is no run. */
export function readRunKey(text: string | null): RunName | null {
  const [group, run, ...more] = (text ?? '').split('/');
  return group && run && more.length === 0 ? { group, run } : null;
}

/** The folders above a file or a folder, the outermost first: each with its name and its path. */
export function foldersOf(path: string): { name: string; path: string }[] {
  const names = path.split('/').slice(0, -1);
  return names.map((name, index) => ({ name, path: `${names.slice(0, index + 1).join('/')}/` }));
}

/** The last name of a path; that of a folder keeps its slash. */
export const lastName = (path: string): string => /[^/]*\/?$/.exec(path)?.[0] ?? path;

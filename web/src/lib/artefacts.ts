// What is asked of `/v1/artefacts`, and what is changed there.

import type {
  Comparison, FilePage, FileVersion, Looked, Recovery, RefusedClient, RunDetails, RunGroup,
  RunGroupChange, RunGroupPage, RunPage,
} from './artefact-types';
import { question, send, sendJson, type Query } from './api';

const ROOT = '/v1/artefacts';

/** A run by its names. */
export interface RunName {
  group: string;
  run: string;
}

const groupPath = (group: string): string => `${ROOT}/groups/${encodeURIComponent(group)}`;
const runPath = ({ group, run }: RunName): string =>
  `${ROOT}/runs/${encodeURIComponent(group)}/${encodeURIComponent(run)}`;
/** As the comparison and lists of chosen runs name it. */
export const runKey = ({ group, run }: RunName): string => `${group}/${run}`;

export const runGroups = (query: Query) => question<RunGroupPage>(`${ROOT}/groups`, query);
export const runGroup = (group: string) => question<RunGroup>(groupPath(group));
export const runs = (query: Query) => question<RunPage>(`${ROOT}/runs`, query);
export const run = (name: RunName) => question<RunDetails>(runPath(name));
export const runFiles = (name: RunName, query: Query) =>
  question<FilePage>(`${runPath(name)}/files`, query);
export const fileVersions = (name: RunName, file: string) =>
  question<{ versions: FileVersion[] }>(`${runPath(name)}/versions`, { name: file });
export const telemetry = (name: RunName) => question<unknown>(`${runPath(name)}/telemetry`);
export const look = (name: RunName, query: Query) =>
  question<Looked>(`${runPath(name)}/look`, query);
export const comparison = (query: Query) => question<Comparison>(`${ROOT}/compare`, query);
export const recovery = (group: string, query: Query) =>
  question<Recovery>(`${groupPath(group)}/recovery`, query);
export const refusedClients = () => question<{ clients: RefusedClient[] }>(`${ROOT}/clients`);

export const changeRunGroup = (group: string, change: RunGroupChange) =>
  sendJson<RunGroup>('PATCH', groupPath(group), change);
export const emptyRunGroup = (group: string) =>
  send<{ removed: number }>(groupPath(group), { method: 'DELETE' });
export const changeRun = (name: RunName, change: { pinned: boolean }) =>
  sendJson<RunDetails>('PATCH', runPath(name), change);
export const removeRun = (name: RunName) =>
  send<{ removed: number }>(runPath(name), { method: 'DELETE' });

// Which machines had the crashes of a group, and with which builds.

import { newestBuilds } from './builds';
import type { MachineBuild } from './types';

/** What backtraces of a group are looked for by. */
export interface BacktraceFilters {
  machine_id?: string;
  build?: string;
}

export interface MachineRow {
  machine_id: string;
  /** By the builds that have a column. */
  counts: Map<string, MachineBuild>;
  /** Records of builds that have none. */
  older: number;
  total: number;
  /** The pair that was seen last. */
  last: MachineBuild;
}

export interface MachineTable {
  builds: string[];
  rows: MachineRow[];
  hasOlder: boolean;
}

/** Columns that there is room for. */
export const BUILDS_MOST = 8;

/** Machines as rows and the newest builds as columns, those with most records first. */
export function machineTable(pairs: MachineBuild[], buildsMost = BUILDS_MOST): MachineTable {
  const builds = newestBuilds(pairs.map(({ build }) => build), buildsMost);
  const isColumn = new Set(builds);
  const rows = new Map<string, MachineRow>();
  for (const pair of pairs) {
    const { machine_id, build, records } = pair;
    const row = rows.get(machine_id) ?? { machine_id, counts: new Map(), older: 0, total: 0, last: pair };
    row.total += records;
    if (isColumn.has(build)) row.counts.set(build, pair);
    else row.older += records;
    if (pair.latest > row.last.latest) row.last = pair;
    rows.set(machine_id, row);
  }
  const sorted = [...rows.values()].sort((one, other) => other.total - one.total);
  return { builds, rows: sorted, hasOlder: sorted.some(({ older }) => older > 0) };
}

export function readBacktraceFilters(query: URLSearchParams): BacktraceFilters {
  const [machine_id, build] = ['machine_id', 'build'].map((name) => query.get(name)?.trim());
  return { ...(machine_id ? { machine_id } : {}), ...(build ? { build } : {}) };
}

// Recovery times over the runs of a group: what is drawn, and how often runs passed.

import type { RunRecovery, RunStatus, ScenarioRecovery } from './artefact-types';
import { SERIES_MOST } from './series';

export interface RecoverySeries {
  scenario: string;
  colour: string;
  /** The longest recovery in seconds, for each run; null where it did not run or nothing recovered. */
  values: (number | null)[];
  /** Runs with a value. */
  total: number;
}

export interface RecoveryChart {
  /** The oldest first, as one reads. */
  runs: RunRecovery[];
  series: RecoverySeries[];
  /** Scenarios for which there is no colour left; the table has them. */
  left: string[];
}

/** The scenarios that ran most often, each with a line. */
export function recoveryChart(newestFirst: RunRecovery[]): RecoveryChart {
  const runs = [...newestFirst].reverse();
  const values = new Map<string, (number | null)[]>();
  runs.forEach((run, index) => {
    for (const one of run.scenarios) {
      const line = values.get(one.scenario) ?? new Array<number | null>(runs.length).fill(null);
      // A scenario may run twice; the longer time is what counts.
      line[index] = longer(line[index] ?? null, one.recovery);
      values.set(one.scenario, line);
    }
  });
  const lines = [...values]
    .map(([scenario, line]) => ({
      scenario, values: line, total: line.filter((value) => value !== null).length,
    }))
    .filter(({ total }) => total > 0)
    .sort((one, other) => other.total - one.total || one.scenario.localeCompare(other.scenario));
  const series = lines.slice(0, SERIES_MOST).map((line, index) => ({
    ...line, colour: `--series-${index + 1}`,
  }));
  return { runs, series, left: lines.slice(SERIES_MOST).map(({ scenario }) => scenario) };
}

export interface Rates {
  passed: number;
  failed: number;
  /** Runs that do not say. */
  unknown: number;
}

export function ratesOf(all: { status: RunStatus | null }[]): Rates {
  const count = (status: RunStatus | null): number =>
    all.filter((one) => one.status === status).length;
  return { passed: count('passed'), failed: count('failed'), unknown: count(null) };
}

/** `85.0 %`; what failed once is never called 100 %. */
export function rateWords({ passed, failed }: Rates): string {
  const all = passed + failed;
  if (all === 0) return '–';
  if (failed === 0) return '100 %';
  // Cut, not rounded: 99.96 % is not 100.0 %.
  return passed === 0 ? '0 %' : `${(Math.floor((1000 * passed) / all) / 10).toFixed(1)} %`;
}

export interface ScenarioSummary {
  scenario: string;
  rates: Rates;
  median: number | null;
  longest: number | null;
  unrecovered: number;
}

/** Each scenario over all runs. */
export function summariesOf(runs: RunRecovery[]): ScenarioSummary[] {
  const byName = new Map<string, ScenarioRecovery[]>();
  for (const one of runs.flatMap(({ scenarios }) => scenarios)) {
    byName.set(one.scenario, [...(byName.get(one.scenario) ?? []), one]);
  }
  return [...byName].map(([scenario, all]) => {
    const times = all.flatMap(({ recovery }) => (recovery === null ? [] : [recovery]));
    return {
      scenario,
      rates: ratesOf(all),
      median: medianOf(times),
      longest: times.reduce<number | null>((most, time) => longer(most, time), null),
      unrecovered: all.reduce((sum, one) => sum + one.unrecovered, 0),
    };
  }).sort((one, other) => one.scenario.localeCompare(other.scenario));
}

export function medianOf(values: number[]): number | null {
  const sorted = [...values].sort((one, other) => one - other);
  const half = Math.floor(sorted.length / 2);
  const [below, above] = [sorted[half - 1], sorted[half]];
  if (above === undefined) return null;
  return sorted.length % 2 === 1 || below === undefined ? above : (below + above) / 2;
}

const longer = (one: number | null, other: number | null): number | null =>
  one === null ? other : other === null ? one : Math.max(one, other);

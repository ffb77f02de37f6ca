// What is said about the machines of a build.

import type { Preset } from './range';
import type { BuildPopulation, Population } from './types';

type Window = Population['windows'][number];

/** The ranges that are windows, by the `days` that stood in addresses of this page. */
const PRESET_OF_DAYS: Record<string, Preset> = { 0: 'all', 1: '24h', 3: '3d', 7: '7d', 14: '14d' };

export const presetOfDays = (days: string | null): Preset => PRESET_OF_DAYS[days ?? ''] ?? '7d';

/** The shortest window that has so many days back from today; everything, when none is that long. */
export function windowOf(windows: Window[], days: number): Window | undefined {
  const covering = windows.filter((one) => one.days >= days);
  covering.sort((one, other) => one.days - other.days);
  return covering[0] ?? windows.find((one) => one.days === 0);
}

/** A window in a sentence: its days are those of UTC, with today. */
export function windowWords(days: number): string {
  if (days === 0) return 'ever';
  return days === 1 ? 'today (UTC)' : `in the last ${days} days`;
}

/** The share of machines without a crash. Rounded down, so that `100 %` means that there was none. */
export function crashFree({ internal, external, crashed }: BuildPopulation): string {
  const machines = internal + external;
  if (machines === 0) return '–';
  // Machines that send no heartbeat crash, too, so there can be more of them than machines.
  const tenths = Math.floor((1_000 * Math.max(machines - crashed, 0)) / machines);
  return tenths % 1_000 === 0 ? `${tenths / 10} %` : `${(tenths / 10).toFixed(1)} %`;
}

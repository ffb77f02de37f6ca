// What is said about the machines of a build.

import type { Preset } from './range';
import type { BuildCrashFree } from './types';

/** The ranges that are windows, by the `days` that stood in addresses of this page. */
const PRESET_OF_DAYS: Record<string, Preset> = { 0: 'all', 1: '24h', 3: '3d', 7: '7d', 14: '14d' };

export const presetOfDays = (days: string | null): Preset => PRESET_OF_DAYS[days ?? ''] ?? '7d';

/** The windows that end; the fifth is everything. */
const WINDOWS = [1, 3, 7, 14];

/** The shortest window that has so many days back from today; 0, everything, when none is that long. */
export const windowDays = (days: number): number => WINDOWS.find((one) => one >= days) ?? 0;

/** A window in a sentence: its days are those of UTC, with today. */
export function windowWords(days: number): string {
  if (days === 0) return 'at any time';
  return days === 1 ? 'today (UTC)' : `in the last ${days} days`;
}

/** The API looks back as far as this. */
const DAYS_MOST = 366;

/** The days of a window, as crashes are asked for. */
export const crashDays = (days: number): number => (days === 0 ? DAYS_MOST : days);

/** The share of machines without a crash. Rounded down, so that `100 %` means that there was none. */
export function crashFree({ machines, crashed, crash_free }: BuildCrashFree): string {
  if (machines === 0) return '–';
  // What is a whole number of tenths can be a hair less where it is a fraction of two.
  const tenths = Math.floor(1_000 * crash_free + 1e-6);
  const shown = crashed > 0 ? Math.min(tenths, 999) : tenths;
  return shown % 1_000 === 0 ? `${shown / 10} %` : `${(shown / 10).toFixed(1)} %`;
}

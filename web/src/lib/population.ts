// What is said about the machines of a build.

import type { BuildPopulation } from './types';

/** The share of machines without a crash. Rounded down, so that `100 %` means that there was none. */
export function crashFree({ internal, external, crashed }: BuildPopulation): string {
  const machines = internal + external;
  if (machines === 0) return '–';
  // Machines that send no heartbeat crash, too, so there can be more of them than machines.
  const tenths = Math.floor((1_000 * Math.max(machines - crashed, 0)) / machines);
  return tenths % 1_000 === 0 ? `${tenths / 10} %` : `${(tenths / 10).toFixed(1)} %`;
}

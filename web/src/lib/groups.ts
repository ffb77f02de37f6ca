// What is drawn of crash groups.

import { newestBuilds } from './builds';
import { add, empty, largest, OTHER, type Chart } from './series';
import type { Group } from './types';

/** Columns that can still be told apart. */
export const BUILDS_DRAWN = 20;

/** The groups with most records, stacked for each of the newest builds; the oldest stands first. */
export function groupsByBuild(groups: Group[]): Chart {
  const points = newestBuilds(groups.flatMap(({ builds }) => Object.keys(builds)), BUILDS_DRAWN).reverse();
  const drawn = (group: Group): number =>
    points.reduce((sum, build) => sum + (group.builds[build] ?? 0), 0);
  const totals = groups.map((group): [string, number] => [String(group.id), drawn(group)]);
  const sorted = new Map(totals.filter(([, total]) => total > 0).sort((one, other) => other[1] - one[1]));
  const names = new Map(groups.map((group) => [String(group.id), group.function]));
  const series = largest(sorted).map(({ key, colour }) =>
    empty(key, names.get(key) ?? key, colour, points.length));
  const rest = empty(OTHER, 'other groups', '--series-other', points.length);
  const byKey = new Map(series.map((one) => [one.key, one]));
  for (const { id, builds } of groups) {
    points.forEach((build, index) => add(byKey.get(String(id)) ?? rest, index, builds[build] ?? 0));
  }
  return { unit: 'build', points, series: rest.total > 0 ? [...series, rest] : series };
}

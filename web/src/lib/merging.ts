// Which group somebody means who writes or picks one.

import type { GroupName } from './types';

/** By number, or by a function that only one group is known to have. */
export function groupMeant(text: string, known: GroupName[]): number | null {
  const written = text.trim();
  const digits = /^#?([1-9]\d{0,15})$/.exec(written)?.[1];
  if (digits !== undefined) return Number(digits);
  const named = known.filter((group) => group.function === written);
  return named.length === 1 ? (named[0]?.id ?? null) : null;
}

/** Why this group can't be a part of the one that was meant; null when it can. */
export function mergeProblem(into: number | null, id: number): string | null {
  if (into === null) return 'Write the number of a group, or pick one from the list.';
  return into === id ? 'That is this group itself.' : null;
}

// Two runs beside each other.

import type { ComparedField, ComparedFile, FileChange } from './artefact-types';
import { runKey, type RunName } from './artefacts';

export const CHANGE_WORDS: Record<FileChange, string> = {
  same: 'same', changed: 'changed', left_only: 'only left', right_only: 'only right',
};

/** The values of a field on each side, marked when the other side has them not. */
export function markedValues(
  { left, right }: Pick<ComparedField, 'left' | 'right'>,
): Record<'left' | 'right', { value: string; isOnlyHere: boolean }[]> {
  const marked = (here: string[], there: string[]) =>
    here.map((value) => ({ value, isOnlyHere: !there.includes(value) }));
  return { left: marked(left, right), right: marked(right, left) };
}

export const differing = <T extends ComparedField>(fields: T[]): T[] =>
  fields.filter(({ is_same }) => !is_same);
export const changedFiles = (files: ComparedFile[]): ComparedFile[] =>
  files.filter(({ change }) => change !== 'same');

/** How a size changed: `+1.2 KiB`. */
export function growth(file: ComparedFile, words: (bytes: number) => string): string {
  if (file.left === null || file.right === null) return '';
  const by = file.right.bytes - file.left.bytes;
  return by === 0 ? '' : `${by > 0 ? '+' : '−'}${words(Math.abs(by))}`;
}

/** Of those who are chosen for a comparison there are two: a third one takes the place of the first. */
export function chosenWith(chosen: readonly string[], run: RunName): string[] {
  const key = runKey(run);
  if (chosen.includes(key)) return chosen.filter((one) => one !== key);
  return [...chosen, key].slice(-2);
}

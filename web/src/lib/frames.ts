// Frames that are never guilty, and the words for what a change of them has behind.

import { counted, number } from './numbers';
import type { Frame, Regroup } from './types';

/** A frame as one text: functions and modules have no line breaks, because payloads are read by lines. */
const keyOf = ({ function: name, module }: Frame): string => `${name}\n${module}`;

export const frameKeys = (frames: Frame[]): Set<string> => new Set(frames.map(keyOf));
export const isAmong = (keys: ReadonlySet<string>, frame: Frame): boolean => keys.has(keyOf(frame));

/** Why a frame can't be added that somebody wrote; null when it can. */
export function frameProblem(frame: Frame, known: Frame[]): string | null {
  if (frame.function === '' || frame.module === '') return 'Fill in both, as payloads write them.';
  return isAmong(frameKeys(known), frame) ? 'This frame is in the list already.' : null;
}

/** How far it is; records are counted by their ids, so those that retention removed are in it. */
export const progressWords = ({ reached, end, moved }: Regroup): string =>
  `Grouping anew: ${number(reached)} of ${counted(end, 'record')}, ${number(moved)} moved`;

export const doneWords = ({ moved }: Regroup): string =>
  moved === 0
    ? 'Grouped anew: no record came to another group.'
    : `Grouped anew: ${counted(moved, 'record')} came to another group.`;

// Frames that are never guilty, groups that are one, and the records that follow. Where a record
// belongs is known at once; it gets there when the time that this takes is over.

import { framesOf } from './data.mjs';

const TAKES_MS = 2_500;

export const isSkipped = (data, [fn, module]) => data.skipped.some((one) => one.function === fn && one.module === module);

/** The group that a record belongs to: that of its first frame that is not skipped, or what that is a part of. */
function belongsTo(data, record) {
  const home = data.groups.find((one) => one.id === record.home);
  const guilty = framesOf(home).find((frame) => !isSkipped(data, frame)) ?? [home.function, home.module];
  let group = guilty[0] === home.function ? home : data.groups.find((one) => one.function === guilty[0] && one.module === guilty[1]);
  if (!group) {
    group = { ...home, id: data.groups.length + 1, function: guilty[0], module: guilty[1], comment: '', is_hidden: false, state: 'open', mergedInto: null };
    data.groups.push(group);
  }
  return group.mergedInto ?? group.id;
}

function begin(data) {
  const moving = data.records.filter((one) => one.home).map((record) => [record, belongsTo(data, record)]).filter(([record, group]) => record.group !== group);
  data.regroup = { begunAt: Date.now(), moving, isDone: false };
}

export function progress(data) {
  const { begunAt, moving, isDone } = data.regroup;
  const part = Math.min((Date.now() - begunAt) / TAKES_MS, 1);
  if (part === 1 && !isDone) {
    for (const [record, group] of moving) record.group = group;
    data.regroup.isDone = true;
  }
  const end = data.records[0]?.id ?? 0;
  return { is_running: part < 1, reached: Math.floor(end * part), end, moved: Math.floor(moving.length * part) };
}

export function skippedFrames(data) {
  return { frames: data.skipped, regroup: progress(data) };
}

export function changeFrames(data, { add = [], remove = [] }) {
  const key = (one) => `${one.function}\n${one.module}`;
  const gone = new Set([...add, ...remove].map(key));
  data.skipped = [...data.skipped.filter((one) => !gone.has(key(one))), ...add].sort((one, other) => (key(one) < key(other) ? -1 : 1));
  begin(data);
  return skippedFrames(data);
}

export function merge(data, group, { into }) {
  const other = data.groups.find((one) => one.id === into);
  if (!other) return null;
  const target = other.mergedInto ?? other.id;
  if (target === group.id) return { refused: 400, message: "a group can't be a part of itself" };
  for (const one of data.groups) if (one === group || one.mergedInto === group.id) one.mergedInto = target;
  begin(data);
  return { id: group.id, merged_into: target };
}

export function split(data, group) {
  if (!group.mergedInto) return { refused: 409, message: 'the group is no part of another' };
  group.mergedInto = null;
  begin(data);
  return { id: group.id, merged_into: null };
}

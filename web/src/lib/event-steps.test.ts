import { expect, it } from 'vitest';
import { stepsOf } from './event-steps';
import type { RecordSummary } from './types';

const record = (id: number, received_at: string) => ({ id, received_at }) as RecordSummary;
const records = [
  record(9, '2026-11-23T15:04:00Z'), record(7, '2026-11-23T15:00:30Z'), record(4, '2026-11-23T15:00:00Z'),
];
const said = (start: RecordSummary | undefined) => stepsOf(records, start).map((step) => [step.record.id, step.after]);

it('counts times from the first record of an event', () => {
  expect(said(records.at(-1))).toEqual([[4, '+0 s'], [7, '+30 s'], [9, '+4 min']]);
});

it('counts them from another one where the first is not known', () => {
  expect(said(records[1])).toEqual([[4, '−30 s'], [7, '+0 s'], [9, '+3 min']]);
});

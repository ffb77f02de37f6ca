// The records of an event in the order in which they came.

import { offset } from './times';
import type { RecordSummary } from './types';

export interface Step {
  record: RecordSummary;
  /** How long after the record that times are counted from. */
  after: string;
}

/** Oldest first; the API gives the newest first. */
export function stepsOf(newestFirst: RecordSummary[], start: RecordSummary | undefined): Step[] {
  const begun = Date.parse(start?.received_at ?? '');
  return newestFirst.toReversed().map((record) => ({
    record,
    after: offset(Date.parse(record.received_at) - begun),
  }));
}

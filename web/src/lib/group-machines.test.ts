import { expect, it } from 'vitest';
import { machineTable, readBacktraceFilters } from './group-machines';
import { backtracesLink } from './links';

const pair = (machine_id: string, build: string, records: number, latest: number) =>
  ({ machine_id, build, records, latest, last_seen: '2026-11-23T15:00:00Z' });

it('has machines as rows, those with most records first, and the newest builds first', () => {
  const { builds, rows, hasOlder } = machineTable([
    pair('a', '9', 5, 3), pair('b', '10', 4, 9), pair('b', '9', 2, 4), pair('a', '10', 0, 1),
  ]);
  expect(builds).toEqual(['10', '9']);
  expect(rows.map(({ machine_id, total, last }) => [machine_id, total, last.latest])).toEqual([['b', 6, 9], ['a', 5, 3]]);
  expect(rows[0]?.counts.get('9')?.records).toBe(2);
  expect(rows[0]?.counts.has('8')).toBe(false);
  expect(hasOlder).toBe(false);
});

it('sums up the builds that have no column', () => {
  const table = machineTable([pair('a', '7', 1, 1), pair('a', '8', 2, 2), pair('b', '9', 1, 3)], 1);
  expect(table.builds).toEqual(['9']);
  expect(table.rows[0]).toMatchObject({ machine_id: 'a', total: 3, older: 3 });
  expect(table.hasOlder).toBe(true);
});

it('is empty without records', () => {
  expect(machineTable([])).toEqual({ builds: [], rows: [], hasOlder: false });
});

it('finds the filters of backtraces in the address, and puts them there', () => {
  const read = (query: string) => readBacktraceFilters(new URLSearchParams(query));
  expect(read('machine_id=%20ab&build=')).toEqual({ machine_id: 'ab' });
  expect(read('')).toEqual({});
  expect(backtracesLink(7, { machine_id: 'ab', build: '12 rc' }))
    .toBe('/telemetryui/crashes/guilty_details/7/backtraces?machine_id=ab&build=12+rc');
});

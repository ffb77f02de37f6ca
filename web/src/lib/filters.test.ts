import { expect, it } from 'vitest';
import { exportAddress, exportProblem, readFilters, tailProblem } from './filters';

const read = (query: string) => readFilters(new URLSearchParams(query));

it('reads the API\'s names', () => {
  expect(read('classification=a%2F*&severity=3&text=%20out%20of&live=on&empty='))
    .toEqual({ classification: 'a/*', severity: '3', text: 'out of' });
});

it('reads bookmarks of the original', () => {
  expect(read('payload=boom&data_source=external&severity=All&build=34960'))
    .toEqual({ text: 'boom', source: 'external', build: '34960' });
});

it('exports with the original\'s names', () => {
  const span = { since: '2026-11-01T00:00:00Z', until: null };
  expect(exportAddress('inline', { text: 'a b', source: 'internal', build: '12' }, span)).toBe(
    '/telemetryui/records/export/records-10000.csv?format_type=inline&build=12&payload=a+b&data_source=internal&from_date=2026-11-01',
  );
});

it('exports the last day as a whole', () => {
  const span = { since: null, until: '2026-11-03T00:00:00Z' };
  expect(exportAddress('attach', {}, span)).toContain('to_date=2026-11-02');
});

it('says what an export leaves out', () => {
  expect(exportProblem({ build: '12' })).toBeNull();
  expect(exportProblem({ event_id: 'ab', group: '3' }))
    .toBe('The CSV is not filtered by: Event, Crash group.');
});

it('says what the tail can\'t follow', () => {
  const always = { since: null, until: null };
  expect(tailProblem({ severity: '4' }, always, true)).toBeNull();
  expect(tailProblem({ text: 'x' }, always, true)).toContain('payloads');
  expect(tailProblem({}, { since: null, until: '2026-11-01T00:00:00Z' }, true)).toContain('end');
  expect(tailProblem({}, always, false)).toContain('newest');
});

import { expect, it } from 'vitest';
import { exportAddress, readFilters, tailProblem } from './filters';

const read = (query: string) => readFilters(new URLSearchParams(query));

it('reads the API\'s names', () => {
  expect(read('classification=a%2F*&severity=3&text=%20out%20of&live=on&empty='))
    .toEqual({ classification: 'a/*', severity: '3', text: 'out of' });
});

it('reads bookmarks of the original', () => {
  expect(read('payload=boom&data_source=external&severity=All&build=34960'))
    .toEqual({ text: 'boom', source: 'external', build: '34960' });
});

it('exports what the list shows', () => {
  const span = { since: '2026-11-01T00:00:00Z', until: null };
  expect(exportAddress('inline', { text: 'a b', source: 'internal', build: '12' }, span)).toBe(
    '/telemetryui/records/export/records-10000.csv?format_type=inline&text=a+b&build=12&data_source=internal&since=2026-11-01T00%3A00%3A00Z',
  );
});

it('says what the tail can\'t follow', () => {
  const always = { since: null, until: null };
  expect(tailProblem({ severity: '4' }, always, true)).toBeNull();
  expect(tailProblem({ text: 'x' }, always, true)).toContain('payloads');
  expect(tailProblem({}, { since: null, until: '2026-11-01T00:00:00Z' }, true)).toContain('end');
  expect(tailProblem({}, always, false)).toContain('newest');
});

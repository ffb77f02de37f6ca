import { expect, it } from 'vitest';
import { ApiError } from './api';
import { exportAddress, patternProblem, readFilters, tailProblem } from './filters';

const read = (query: string) => readFilters(new URLSearchParams(query));

it('reads the API\'s names', () => {
  expect(read('classification=a%2F*&severity=3&text=%20out%20of&live=on&empty='))
    .toEqual({ classification: 'a/*', severity: '3', text: 'out of' });
});

it('reads bookmarks of the original', () => {
  expect(read('payload=boom&data_source=external&severity=All&build=34960'))
    .toEqual({ payload: 'boom', source: 'external', build: '34960' });
});

it('leaves expressions as they are', () => {
  expect(read('payload=%20at%20&not_payload=All&text=All')).toEqual({ payload: ' at ', not_payload: 'All' });
  expect(read('payload=&not_payload=')).toEqual({});
});

it('knows which expression was refused', () => {
  const problem = (status: number, text: string) => patternProblem(new ApiError(status, 'invalid', text));
  expect(problem(400, 'payload is no regular expression: regex parse error:\n    a(\n     ^\nerror: unclosed group'))
    .toEqual({ name: 'payload', reason: 'unclosed group' });
  expect(problem(400, 'not_payload has at most 256 characters, and no NUL'))
    .toEqual({ name: 'not_payload', reason: 'has at most 256 characters, and no NUL' });
  expect(problem(400, 'severity is 1 to 4')).toBeNull();
  expect(problem(503, 'payload is away')).toBeNull();
  expect(patternProblem(undefined)).toBeNull();
});

it('exports what the list shows', () => {
  const span = { since: '2026-11-01T00:00:00Z', until: null };
  expect(exportAddress('inline', { text: 'a b', source: 'internal', build: '12' }, span)).toBe(
    '/telemetryui/records/export/records-10000.csv?format_type=inline&text=a+b&build=12&data_source=internal&since=2026-11-01T00%3A00%3A00Z',
  );
  expect(exportAddress('attach', { payload: 'a+b', not_payload: ' c' }, { since: null, until: null })).toBe(
    '/telemetryui/records/export/records-10000.csv?format_type=attach&payload=a%2Bb&not_payload=+c',
  );
});

it('says what the tail can\'t follow', () => {
  const always = { since: null, until: null };
  expect(tailProblem({ severity: '4' }, always, true)).toBeNull();
  expect(tailProblem({ text: 'x' }, always, true)).toContain('payloads');
  expect(tailProblem({ not_payload: 'x' }, always, true)).toContain('payloads');
  expect(tailProblem({}, { since: null, until: '2026-11-01T00:00:00Z' }, true)).toContain('end');
  expect(tailProblem({}, always, false)).toContain('newest');
});

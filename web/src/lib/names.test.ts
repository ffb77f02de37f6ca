import { expect, it } from 'vitest';
import { address, ApiError } from './api';
import { newestBuilds } from './builds';
import { reasonFor } from './failures';
import { recordsLink, shared } from './links';
import { counted, share } from './numbers';

it('orders builds by the numbers in their names', () => {
  expect(newestBuilds(['22.4', '34960', '22.10', '34960', '9'], 3)).toEqual(['34960', '22.10', '22.4']);
});

it('says shares without calling little nothing', () => {
  expect([share(1, 3), share(1, 10_000), share(0, 5), share(0, 0)]).toEqual(['33.3 %', '< 0.1 %', '0 %', '0 %']);
  expect([counted(1, 'record'), counted(2_000, 'record')]).toEqual(['1 record', '2,000 records']);
});

it('leaves what is not set out of addresses, and keeps what views share', () => {
  expect(address('/a', { b: null, c: '', d: 0, e: false, f: undefined })).toBe('/a?d=0&e=false');
  const query = new URLSearchParams('range=7d&severity=3&before=9');
  expect(recordsLink({ build: '12' }, shared(query))).toBe('/telemetryui/records?build=12&range=7d');
});

it('says what failed', () => {
  expect(reasonFor('change the group', new ApiError(403, 'forbidden', 'x')))
    .toBe('Could not change the group: no role of yours allows this.');
  expect(reasonFor('load it', new ApiError(503, 'unavailable', 'the store does not answer')))
    .toBe('Could not load it: the store does not answer.');
});

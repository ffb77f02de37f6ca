// Who is there, and the nodes and applications that they may see.

const PLACES = {
  '/v1/me': { user: 'ada', roles: ['admin'] },
  '/v1/nodes': {
    nodes: [
      { name: 'attic', state: 'online', round_trip_us: 4_312, last_error: null },
      { name: 'cellar', state: 'offline', round_trip_us: null, last_error: 'the line was silent for 30 s' },
    ],
  },
  '/v1/apps': {
    apps: [
      { name: 'wiki', node: 'attic', kind: 'http', state: 'online' },
      { name: 'db', node: 'cellar', kind: 'tcp', state: 'offline' },
    ],
  },
};
const NONE = { '/v1/nodes': { nodes: [] }, '/v1/apps': { apps: [] } };

export const place = (path, { empty }) => (empty ? NONE[path] : undefined) ?? PLACES[path] ?? null;

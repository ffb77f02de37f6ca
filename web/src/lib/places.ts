// Nodes and their applications, as the API tells them to those who may see them.

import { question } from './api';

export interface NodeSeen {
  name: string;
  state: 'online' | 'draining' | 'offline';
  round_trip_us: number | null;
  last_error: string | null;
}

export interface AppSeen {
  name: string;
  node: string;
  kind: 'http' | 'tcp';
  state: string;
}

export interface Reader {
  user: string;
  roles: string[];
}

export const me = () => question<Reader>('/v1/me');
export const nodes = () => question<{ nodes: NodeSeen[] }>('/v1/nodes');
export const apps = () => question<{ apps: AppSeen[] }>('/v1/apps');

/** Where an application opens; with its node where another one has the same name. */
export function appLink(app: AppSeen, all: AppSeen[]): string {
  const isAlone = all.filter(({ name }) => name === app.name).length === 1;
  return `/apps/${isAlone ? app.name : `${app.name}@${app.node}`}/`;
}

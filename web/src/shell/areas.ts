// What there is to go to. An area of the product is one entry here, with its pages and their keys.

import { EXPLORE } from '../lib/explore';
import { BASE, RUNS, TARGETS, type Route } from '../lib/routes';

export interface AreaPage {
  name: string;
  path: string;
  /** Pressed after `g`. */
  key: string;
  /** Routes on which this page counts as the current one. */
  routes: Route['page'][];
}

export interface Area {
  name: string;
  path: string;
  pages: AreaPage[];
}

export const AREAS: Area[] = [
  {
    name: 'Metrics',
    path: EXPLORE,
    pages: [
      { name: 'Explore', path: EXPLORE, key: 'e', routes: ['explore'] },
      { name: 'Targets', path: TARGETS, key: 'o', routes: ['targets'] },
    ],
  },
  {
    name: 'Records',
    path: `${BASE}/`,
    pages: [
      { name: 'List', path: `${BASE}/records`, key: 'r', routes: ['records', 'record'] },
      { name: 'Crashes', path: `${BASE}/crashes`, key: 'c', routes: ['crashes', 'group', 'backtraces', 'frames'] },
      { name: 'Builds', path: `${BASE}/builds`, key: 'b', routes: ['builds'] },
      { name: 'Statistics', path: `${BASE}/stats`, key: 's', routes: ['statistics', 'class'] },
      { name: 'Machine checks', path: `${BASE}/mce`, key: 'm', routes: ['machine-checks'] },
      { name: 'Thermal', path: `${BASE}/thermal`, key: 't', routes: ['thermal'] },
      { name: 'Population', path: `${BASE}/population`, key: 'p', routes: ['population'] },
      { name: 'Quarantine', path: `${BASE}/quarantine`, key: 'q', routes: ['quarantine'] },
    ],
  },
  {
    name: 'Artefacts',
    path: RUNS,
    pages: [
      { name: 'Groups', path: RUNS, key: 'a', routes: ['run-groups', 'recovery', 'group-settings'] },
      { name: 'Runs', path: `${RUNS}?view=runs`, key: 'u', routes: ['runs', 'run', 'report', 'run-file', 'compare'] },
    ],
  },
];

export const areaOf = (route: Route): Area | undefined =>
  AREAS.find((area) => area.pages.some((page) => page.routes.includes(route.page)));

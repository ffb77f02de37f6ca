import './styles/tokens.css';
import './styles/base.css';
import './styles/forms.css';
import './styles/tables.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { clock } from './lib/clock.svelte';
import { router } from './lib/router.svelte';

router.start();
clock.start();
mount(App, { target: document.body });

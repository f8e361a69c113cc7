import type { ComponentType } from 'react';
import { lazy } from 'react';
import { Empty } from './states.js';

/** A screen whose code is fetched once it is asked for. A server that was renewed since has it under another name. */
export function later<Name extends string>(
  load: () => Promise<Readonly<Record<Name, ComponentType>>>,
  name: Name,
): ComponentType {
  return lazy(async (): Promise<{ default: ComponentType }> => {
    try {
      return { default: (await load())[name] };
    } catch {
      return { default: Gone };
    }
  });
}

function Gone() {
  return (
    <Empty title="This part of the page did not come">
      <p>The server was renewed, or does not answer.</p>
      <button type="button" onClick={() => location.reload()}>
        Load the page again
      </button>
    </Empty>
  );
}

import type { ThresholdsConfig } from '@grafana/schema';
import { ThresholdsMode } from '@grafana/schema';

/** The color below all steps, then those from a value on, ascending. */
export type Thresholds = readonly [readonly [color: string], ...(readonly [color: string, from: number])[]];

export function steps([[base], ...others]: Thresholds): ThresholdsConfig {
  return {
    mode: ThresholdsMode.Absolute,
    steps: [{ color: base, value: null }, ...others.map(([color, value]) => ({ color, value }))],
  };
}

/** Any at all wants a look; so many want it now. */
export function above(orange: number, red: number): Thresholds {
  return [['green'], ['orange', orange], ['red', red]];
}

/** Good is high. */
export function below(red: number, orange: number): Thresholds {
  return [['red'], ['orange', red], ['green', orange]];
}

/** One thing that must not be. */
export function never(from: number): Thresholds {
  return [['green'], ['red', from]];
}

/** One thing to look at. */
export function lookFrom(from: number): Thresholds {
  return [['green'], ['orange', from]];
}

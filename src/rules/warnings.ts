import type { Conditions, Rule, RuleSet } from './model.js';
import { pointsOf, restsOnBounces } from './model.js';

/**
 * The rules by which a stranger can get somebody else refused, or that cannot block since a stranger could: each as a
 * sentence for a person.
 */
export function forgeable({ rules }: Pick<RuleSet, 'rules'>): readonly string[] {
  return rules.flatMap((rule) => {
    if (rule.then !== 'block') return [];
    if (restsOnBounces(rule))
      return [
        `rule "${rule.id}" looks at bounces, which anybody may send to anybody: it proposes, and blocks nobody`,
      ];
    const why = whyForgeable(rule);
    return why === undefined ? [] : [`rule "${rule.id}" ${why}; let it propose, or count per ip`];
  });
}

function whyForgeable({ per, direction }: Rule): string | undefined {
  const arriving = direction !== 'outbound';
  switch (per) {
    case 'ehlo':
      return arriving
        ? 'blocks an EHLO name, which every client chooses: a stranger who takes that of a customer gets its mail refused'
        : 'blocks an EHLO name, which every client chooses: one account that takes that of a customer gets it refused';
    case 'address':
    case 'domain':
      return arriving
        ? `blocks ${per === 'domain' ? 'the domain of ' : ''}a return path of mail that arrives, which anybody can write there: the mail of its owner is refused with it`
        : undefined;
    case 'account':
    case 'ip':
      return undefined;
  }
}

/** Whether there may be somebody who tells where clients are: without a database a message says nothing of it. */
export interface GeoData {
  readonly country: boolean;
  readonly asn: boolean;
}

type GeoKind = keyof GeoData;

const NOUNS: Readonly<Record<GeoKind, string>> = {
  country: 'the country',
  asn: 'the network operator (AS number)',
};

/** A rule that asks for something that nobody here tells. */
interface WithoutGeoData {
  readonly rule: string;
  /** The setting that would name a database. */
  readonly setting: `geoip.${GeoKind}`;
  /** False where the rule can trip without it, by other points of its score. */
  readonly never: boolean;
  /** For a person. */
  readonly sentence: string;
}

/** The rules that ask for the place of clients where nobody tells it: such a condition never holds. */
export function withoutGeoData({ rules }: Pick<RuleSet, 'rules'>, known: GeoData): readonly WithoutGeoData[] {
  return rules.flatMap(({ id, when = {}, score }) => {
    const required = missingOf(when, known);
    const lost = (score?.signals ?? []).filter((signal) => missingOf(signal, known).length > 0);
    const rest = (score?.signals ?? []).filter((signal) => !lost.includes(signal));
    const outOfReach = score !== undefined && pointsOf(rest) < score.threshold;
    const missing = new Set([...required, ...lost.flatMap((signal) => missingOf(signal, known))]);
    return [...missing].map((place) => {
      const never = required.length > 0 || outOfReach;
      const effect = never ? 'it never trips' : 'it trips by its other points alone';
      const setting = `geoip.${place}` as const;
      const sentence = `rule "${id}" asks for ${NOUNS[place]} of clients, but ${setting} is not configured: ${effect}`;
      return { rule: id, setting, never, sentence };
    });
  });
}

function missingOf({ newCountry, newAsn }: Conditions, known: GeoData): readonly GeoKind[] {
  return [
    ...(newCountry === true && !known.country ? (['country'] as const) : []),
    ...(newAsn === true && !known.asn ? (['asn'] as const) : []),
  ];
}

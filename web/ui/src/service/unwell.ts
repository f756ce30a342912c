// What somebody should look at. The same is unwell to `freshtape status`.
import type { AssetClass } from '../gql'
import { count } from '../kit/figures'
import type { About, ClassFreshness, Loop, Provider, Standing } from './health'

/** A sentence that may end with an instant, and the reason. */
export type Trouble = { tone: 'bad' | 'warn'; text: string; until?: string; why?: string | null }

/** Of a class, below which somebody should look: a few symbols are always in trouble of their own. */
const FRESH_SHARE = 0.9

export const CLASSES: Record<AssetClass, string> = {
  STOCK: 'Stocks',
  ETF: 'ETFs',
  CRYPTO: 'Crypto',
  FOREX: 'Currency pairs',
  INDEX: 'Indices',
}

export const isUnwell = ({ state }: Loop) => state === 'WAITING' || state === 'FAILED'

export const isTooStale = ({ fresh, tracked }: ClassFreshness) => fresh < FRESH_SHARE * tracked

export function troubles(about: About, standing: Standing | null): Trouble[] {
  const found = [
    ...about.loops.filter(isUnwell).map(ofLoop),
    ...(standing?.providers ?? []).flatMap(ofProvider),
    ...(standing?.freshness ?? []).filter(isTooStale).map(ofClass),
  ]
  return found.sort((one, other) => Number(other.tone === 'bad') - Number(one.tone === 'bad'))
}

function ofLoop({ name, state, lastError }: Loop): Trouble {
  if (state === 'FAILED') return { tone: 'bad', text: `The loop “${name}” has failed again and again.`, why: lastError }
  return { tone: 'warn', text: `The loop “${name}” has failed and is started again.`, why: lastError }
}

function ofProvider({ name, circuit, retryAt, lastError }: Provider): Trouble[] {
  switch (circuit) {
    case 'OPEN':
      return [{ tone: 'bad', text: `The provider ${name} is not asked`, ...(retryAt && { until: retryAt }), why: lastError }]
    case 'HALF_OPEN':
      return [{ tone: 'warn', text: `The provider ${name} is being tried again.`, why: lastError }]
    case 'CLOSED':
      return []
  }
}

function ofClass({ assetClass, stale, tracked }: ClassFreshness): Trouble {
  return { tone: 'warn', text: `${CLASSES[assetClass]}: ${count(stale)} of ${count(tracked)} are stale.` }
}

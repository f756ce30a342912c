// What somebody should know before trusting a portfolio's totals.
import type { Card } from './feed'

/** `old` are those of its symbols that are known not to be up to date. */
export function caveats({ snapshot, status, pendingTickers }: Card, old: readonly string[] = []): string[] {
  if (!snapshot) return status === 'PENDING' ? [] : ['None of its open lots has a price.']
  return [
    snapshot.isStale && `Prices are old: those of ${old.join(', ') || 'at least one of its symbols'}.`,
    !snapshot.isComplete &&
      (pendingTickers.length
        ? 'Not complete: symbols are still on their way.'
        : 'Not complete: open lots without a price, or in another currency, are not counted.'),
  ].filter((text) => text !== false)
}

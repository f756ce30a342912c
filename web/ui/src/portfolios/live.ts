import { connection } from '../api/connection'
import { soon } from '../kit/soon'
import { onboardingFeed } from '../onboarding/feed'
import { symbolFeed } from '../symbols/feed'

const SOON_MS = 250
const EVERY_MS = 5_000
const nothing = () => {}

/**
 * Reads now, and soon after a symbol that matters has moved, the service is back, or `again` is called. Nothing tells of a
 * portfolio that was replaced or removed: that is looked for every so often.
 */
export function keepRead(
  read: () => Promise<void>,
  look: () => void,
  matters: (ticker: string) => boolean,
): { again: () => void; end: () => void } {
  const again = soon(read, SOON_MS)
  const timer = setInterval(() => document.hidden || look(), EVERY_MS)
  const ends = [
    () => clearInterval(timer),
    symbolFeed.follow(nothing),
    symbolFeed.watch(({ symbol }) => matters(symbol.ticker) && again()),
    onboardingFeed.follow(nothing),
    onboardingFeed.watch(({ ticker }) => matters(ticker) && again()),
    connection.follow(() => connection.get().state === 'connected' && again()),
  ]
  again(0)
  return {
    again,
    end: () => {
      for (const end of ends) end()
    },
  }
}

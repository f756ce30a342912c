// Portfolios as they stand, for as long as somebody looks at them.
import { useEffect, useRef, useState } from 'react'
import { client, sentence } from '../api/client'
import {
  type PortfolioCardFragment,
  PortfolioDocument,
  PortfolioOnboardingDocument,
  type PortfolioQuery,
  PortfoliosDocument,
  PortfolioVersionDocument,
} from '../gql'
import { onboardingFeed } from '../onboarding/feed'
import { keepRead } from './live'

export type Card = PortfolioCardFragment
export type Portfolio = NonNullable<PortfolioQuery['portfolio']>
/** `place`: in the file, from 0. */
export type Lot = Portfolio['positions'][number] & { place: number }

/** `found` is undefined until it was read; of one portfolio, null where there is none by that id (any more). */
type Read<Found> = { found: Found | undefined; error: string | null }

/** By name. */
export function usePortfolios() {
  const [{ found, error }, set] = useState<Read<readonly Card[]>>({ found: undefined, error: null })
  const again = useRef(() => {})
  useEffect(() => {
    const read = async () => {
      const { data, error } = await client.query(PortfoliosDocument, {})
      set((before) => (data ? { found: data.portfolios, error: null } : { ...before, error: sentence(error!) }))
    }
    const kept = keepRead(
      read,
      () => kept.again(),
      () => true,
    )
    again.current = kept.again
    return kept.end
  }, [])
  return { portfolios: found, error, again: () => again.current() }
}

export function usePortfolio(id: string) {
  const [{ found, error }, set] = useState<Read<Portfolio | null>>({ found: undefined, error: null })
  const again = useRef(() => {})
  useEffect(() => {
    let version: number | undefined
    let held: ReadonlySet<string> = new Set()
    const read = async () => {
      const { data, error } = await client.query(PortfolioDocument, { id })
      if (!data) return set((before) => ({ ...before, error: sentence(error!) }))
      version = data.portfolio?.version
      held = new Set(data.portfolio?.positions.map(({ ticker }) => ticker))
      set({ found: data.portfolio, error: null })
    }
    const look = async () => {
      const { data } = await client.query(PortfolioVersionDocument, { id })
      if (data && data.portfolio?.version !== version) kept.again()
    }
    const unfollow = followJobs(id)
    const kept = keepRead(read, look, (ticker) => held.has(ticker))
    again.current = kept.again
    return () => {
      unfollow()
      kept.end()
    }
  }, [id])
  return { portfolio: found, error, again: () => again.current() }
}

/** The newest job of each of its symbols, also of those that ended long ago, which the queue no longer lists. */
function followJobs(portfolioId: string) {
  return client.subscription(PortfolioOnboardingDocument, { portfolioId }).subscribe(({ data }) => {
    if (data) onboardingFeed.learn(data.onboardingProgress.job)
  }).unsubscribe
}

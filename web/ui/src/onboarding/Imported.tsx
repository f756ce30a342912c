import { useEffect, useMemo, useRef } from 'react'
import { Link } from 'wouter'
import { many } from '../kit/figures'
import { Button, Panel } from '../kit/kit'
import { usePortfolio } from '../portfolios/feed'
import { portfolioPath, StatusBadge } from '../portfolios/PortfolioStatus'
import { useOnboarding } from './feed'
import { type Done, startOver } from './importing'
import { JobList } from './JobList'
import { newestByTicker } from './jobs'
import { LineTable } from './LineTable'
import { linesOf } from './lines'

const NONE: ReadonlySet<string> = new Set()

/** What has become of an import: the portfolio, and each of its symbols on its way. */
export function Imported({ done }: { done: Done }) {
  const { id, name, pendingTickers, rejected, text } = done
  const { jobs } = useOnboarding()
  const { portfolio } = usePortfolio(id)
  const newest = useMemo(() => newestByTicker(jobs.values()), [jobs])
  const pending = portfolio?.pendingTickers ?? pendingTickers
  const ref = useRef<HTMLDivElement>(null)
  useEffect(() => ref.current?.focus(), [])
  return (
    <div ref={ref} tabIndex={-1} className="review">
      <Panel title={`${name} is imported`} actions={portfolio && <StatusBadge status={portfolio.status} />}>
        <div className="stack">
          <p role="status">
            {pending.length
              ? `Pending: ${many(pending.length, 'symbol')} (${pending.join(', ')}) to come. The portfolio is there meanwhile.`
              : portfolio && READY[portfolio.status]}
          </p>
          {pendingTickers.length > 0 && (
            <JobList
              label="Symbols on their way"
              jobs={pendingTickers.map((ticker) => ({ ticker, job: newest.get(ticker) }))}
            />
          )}
          {rejected.length > 0 && (
            <>
              <h3>Left out: {many(rejected.length, 'mistake')}</h3>
              <LineTable label="Lines left out" lines={linesOf(text, [], rejected)} unknown={NONE} />
            </>
          )}
          <p className="buttons">
            <Link href={portfolioPath(id)} className="button primary">
              Look at {name}
            </Link>
            <Button onClick={startOver}>Import another</Button>
          </p>
        </div>
      </Panel>
    </div>
  )
}

const READY = {
  PENDING: '',
  READY: 'Ready: every open lot has a price.',
  PARTIAL: 'Not all of it is ready: some of its open lots have no price.',
} as const

import { useMemo } from 'react'
import { Link } from 'wouter'
import { Exposures } from '../kit/Exposures'
import { many, money } from '../kit/figures'
import { Empty, Facts, Failure, Panel, Skeleton } from '../kit/kit'
import { Day } from '../kit/times'
import { useOnboarding } from '../onboarding/feed'
import { JobList } from '../onboarding/JobList'
import { newestByTicker } from '../onboarding/jobs'
import { useSymbols } from '../symbols/feed'
import { caveats } from './caveats'
import { type Portfolio, usePortfolio } from './feed'
import { Gain } from './Gain'
import { StatusBadge } from './PortfolioStatus'
import { ClosedLots, OpenLots } from './Positions'
import { RemovePortfolio } from './RemovePortfolio'
import './portfolios.css'

export default function PortfolioPage({ id }: { id: string }) {
  const { portfolio, error, again } = usePortfolio(id)
  if (portfolio) return <Shown portfolio={portfolio} again={again} />
  return (
    <>
      <div className="page-head">
        <h1>Portfolio</h1>
      </div>
      {portfolio === null ? (
        <Empty title="There is no such portfolio">
          <p>It was removed, or the address is wrong.</p>
          <Link href="/portfolios" className="button">
            To the portfolios
          </Link>
        </Empty>
      ) : error ? (
        <Failure what="The portfolio could not be read" error={error} retry={again} />
      ) : (
        <div className="stack" role="group" aria-busy aria-label="Loading the portfolio">
          <Skeleton height={120} />
          <Skeleton height={320} />
        </div>
      )}
    </>
  )
}

function Shown({ portfolio, again }: { portfolio: Portfolio; again: () => void }) {
  const { name, status, positions, factorExposures } = portfolio
  const lots = positions.map((position, place) => ({ ...position, place }))
  const open = lots.filter(({ exitDate }) => !exitDate)
  const closed = lots.filter(({ exitDate }) => exitDate)
  return (
    <>
      <div className="page-head">
        <h1>{name}</h1>
        <StatusBadge status={status} />
        <p className="soft">{many(positions.length, 'lot')}</p>
        <span className="actions">
          <RemovePortfolio portfolio={portfolio} again={again} />
        </span>
      </div>
      <div className="stack">
        <Totals portfolio={portfolio} />
        <OnTheirWay portfolio={portfolio} />
        <Panel title="Positions">
          {open.length ? <OpenLots lots={open} /> : <p className="soft">All of its lots are closed.</p>}
        </Panel>
        {closed.length > 0 && (
          <Panel title={`Closed: ${many(closed.length, 'lot')}`}>
            <ClosedLots lots={closed} />
          </Panel>
        )}
        <Panel title="Factor exposures">
          {factorExposures.some(({ beta }) => beta !== null) ? (
            <Exposures exposures={factorExposures} />
          ) : (
            <p className="soft">
              There are none: they need a positive value in total, and a beta of each of the symbols that are counted.
            </p>
          )}
        </Panel>
      </div>
    </>
  )
}

function Totals({ portfolio }: { portfolio: Portfolio }) {
  const { snapshot } = portfolio
  const old = useOldOnes(portfolio)
  return (
    <Panel title="What it comes to">
      <div className="stack">
        {snapshot ? (
          <Facts
            facts={[
              ['Value', money(snapshot.totalValue, snapshot.currency)],
              ['Cost', money(snapshot.totalCost, snapshot.currency)],
              [
                'Gain or loss',
                <Gain key="gain" amount={snapshot.totalPnl} currency={snapshot.currency} inPercent={snapshot.pnlPercent} />,
              ],
              ['Prices of', <Day key="newest" date={snapshot.date} />],
              ...(snapshot.oldestPriceDate && snapshot.oldestPriceDate !== snapshot.date
                ? ([['The oldest of', <Day key="oldest" date={snapshot.oldestPriceDate} />]] as const)
                : []),
              ['Counted', many(snapshot.positionCount, 'open lot')],
            ]}
          />
        ) : (
          <p className="soft">There are no prices yet.</p>
        )}
        {caveats(portfolio, old).map((text) => (
          <p key={text} className="warning">
            <span aria-hidden>⚠ </span>
            {text}
          </p>
        ))}
      </div>
    </Panel>
  )
}

/** The tickers of its open lots whose symbols are not up to date, or not tracked any more. */
function useOldOnes({ positions }: Portfolio): string[] {
  const { state, symbols } = useSymbols()
  if (state !== 'live') return []
  const held = new Set(positions.flatMap(({ ticker, exitDate, lastPrice }) => (exitDate || !lastPrice ? [] : [ticker])))
  return [...held].filter((ticker) => {
    const symbol = symbols.get(ticker)
    return !symbol || symbol.isStale || symbol.stalenessReason === 'PROVIDER_EMPTY'
  })
}

/** Its symbols that are being onboarded, and those whose onboarding did not go well. */
function OnTheirWay({ portfolio: { positions, pendingTickers } }: { portfolio: Portfolio }) {
  const { jobs } = useOnboarding()
  const newest = useMemo(() => newestByTicker(jobs.values()), [jobs])
  const pending = new Set(pendingTickers)
  const shown = [...new Set(positions.map(({ ticker }) => ticker))].flatMap((ticker) => {
    const job = newest.get(ticker)
    return pending.has(ticker) || (job && job.status !== 'COMPLETED') ? [{ ticker, job }] : []
  })
  if (!shown.length) return null
  return (
    <Panel title="Symbols on their way">
      <JobList label="Symbols on their way" jobs={shown} />
    </Panel>
  )
}

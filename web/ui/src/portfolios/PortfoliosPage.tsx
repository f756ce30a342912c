import { Link } from 'wouter'
import { many, money } from '../kit/figures'
import { Empty, Failure, Skeletons } from '../kit/kit'
import { Day } from '../kit/times'
import { caveats } from './caveats'
import { type Card, usePortfolios } from './feed'
import { Gain } from './Gain'
import { portfolioPath, StatusBadge } from './PortfolioStatus'
import './portfolios.css'

export default function PortfoliosPage() {
  const { portfolios, error, again } = usePortfolios()
  return (
    <>
      <div className="page-head">
        <h1>Portfolios</h1>
        <p className="soft" role="status">
          {portfolios && many(portfolios.length, 'portfolio')}
        </p>
        <Link href="/onboarding" className="button primary">
          Import a portfolio
        </Link>
      </div>
      {!portfolios && error && <Failure what="The portfolios could not be read" error={error} retry={again} />}
      {!portfolios && !error && <Skeletons label="Loading the portfolios" number={3} height={190} className="portfolios" />}
      {portfolios && portfolios.length > 0 && (
        <ul className="portfolios" aria-label="Portfolios">
          {portfolios.map((portfolio) => (
            <PortfolioCard key={portfolio.id} portfolio={portfolio} />
          ))}
        </ul>
      )}
      {portfolios?.length === 0 && (
        <Empty title="No portfolios yet">
          <p>Import one from a CSV file: its symbols are loaded, and its lots valued.</p>
          <Link href="/onboarding" className="button primary">
            To the onboarding
          </Link>
        </Empty>
      )}
    </>
  )
}

function PortfolioCard({ portfolio }: { portfolio: Card }) {
  const { id, name, status, snapshot, pendingTickers } = portfolio
  return (
    <li className="panel portfolio">
      <div className="head">
        <h2>
          <Link href={portfolioPath(id)}>{name}</Link>
        </h2>
        <StatusBadge status={status} />
      </div>
      {snapshot ? (
        <>
          <p className="value">{money(snapshot.totalValue, snapshot.currency)}</p>
          <p className="small">
            <span className="soft">Gain or loss </span>
            <Gain amount={snapshot.totalPnl} currency={snapshot.currency} inPercent={snapshot.pnlPercent} />
          </p>
          <p className="soft small">
            {many(snapshot.positionCount, 'lot')}, prices of <Day date={snapshot.date} />
          </p>
        </>
      ) : (
        <p className="value soft">No value yet</p>
      )}
      {pendingTickers.length > 0 && <p className="pending small">On their way: {pendingTickers.join(', ')}</p>}
      <Caveats portfolio={portfolio} />
    </li>
  )
}

function Caveats({ portfolio }: { portfolio: Card }) {
  return caveats(portfolio).map((text) => (
    <p key={text} className="warning">
      <span aria-hidden>⚠ </span>
      {text}
    </p>
  ))
}

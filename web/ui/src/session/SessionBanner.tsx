import { Link, useLocation } from 'wouter'
import { words } from '../kit/figures'
import { isRunning, type Session, useSession } from './feed'
import { describe, isForLaggards, laggards, STANDINGS, whyShut } from './told'
import './banner.css'

/** Whether the session is shown to the outside, and if not, why: on every page while it runs, and at large on its own. */
export function SessionBanner() {
  const session = useSession()
  const [path] = useLocation()
  const isHome = path === '/session'
  return (
    <div role="status" aria-label="Session">
      {session && isHome && (
        <div className={`session-banner large ${session.state.toLowerCase()}`}>
          <Standing session={session} />
        </div>
      )}
      {session && !isHome && isRunning(session) && (
        <Link href="/session" className={`session-banner ${session.state.toLowerCase()}`}>
          <Standing session={session} />
        </Link>
      )}
    </div>
  )
}

function Standing({ session }: { session: Session }) {
  const { state, active, lagging, version } = session
  return (
    <>
      <strong>
        <span aria-hidden>{STANDINGS[state][0]} </span>
        {words(state).toUpperCase()}
      </strong>
      <span className="why">
        {active && describe(session)}
        {!active && !isForLaggards(session) && (version ? whyShut(session) : 'No session has been started yet.')}
        {(active ? lagging.length > 0 : isForLaggards(session)) && <Laggards session={session} />}
      </span>
    </>
  )
}

/** How far behind they are moves all the time: it is read out with the next turn, and not by itself. */
function Laggards({ session }: { session: Session }) {
  const { named, more } = laggards(session)
  return (
    <span className="laggards">
      {named.map(({ ticker, lag }) => (
        <span key={ticker} className="laggard">
          <b>{ticker}</b> is <span aria-live="off">{lag}</span> behind{session.active && ' and withheld'}
        </span>
      ))}
      {more > 0 && <span className="laggard">and {more} more</span>}
    </span>
  )
}

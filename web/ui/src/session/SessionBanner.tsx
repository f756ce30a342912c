import { Link } from 'wouter'
import { words } from '../kit/figures'
import { isRunning, type Session, useSession } from './feed'
import './banner.css'

/** On every page while a session runs: whether it is shown to the outside, and if not, why. */
export function SessionBanner() {
  const session = useSession()
  return (
    <div role="status" aria-label="Session">
      {session && isRunning(session) && (
        <Link href="/session" className={`session-banner ${session.active ? 'active' : 'inactive'}`}>
          <strong>
            <span aria-hidden>{session.active ? '●' : '■'} </span>
            {session.active ? 'ACTIVE' : 'INACTIVE'}
          </strong>
          <span>{session.active ? describe(session) : (session.reason ?? words(session.state))}</span>
        </Link>
      )}
    </div>
  )
}

/** `replay of 25 Mar 2026, 60×, 3 symbols` */
export function describe({ mode, clock, speed, symbols }: Session): string {
  const day = new Date(clock).toLocaleDateString(undefined, { dateStyle: 'medium' })
  const what = mode === 'LIVE' ? 'live' : `replay of ${day}, ${speed ? `${speed}×` : 'as fast as it goes'}`
  return `${what}, ${symbols.map(({ ticker }) => ticker).join(', ')}`
}

import { Failure, Skeletons } from '../kit/kit'
import { useCommands } from './commands'
import { isRunning, type Session, sessionFeed, useSession, useSessionError } from './feed'
import { Members } from './Members'
import { RefusalNotice } from './RefusalNotice'
import { SessionCandles } from './SessionCandles'
import { SessionPanel } from './SessionPanel'
import { StartPanel } from './StartPanel'
import './session.css'

/** One session at a time: started here, steered, and watched through its gate. */
export default function SessionPage() {
  const session = useSession()
  const error = useSessionError()
  return (
    <>
      <div className="page-head">
        <h1>Session</h1>
        <p className="soft">A replay of a trading day, or the present: shown to the outside while nobody lags.</p>
      </div>
      {session && <TheSession session={session} />}
      {!session && error && (
        <Failure what="The session could not be read" error={error} retry={() => void sessionFeed.read()} />
      )}
      {!session && !error && <Skeletons label="Loading the session" className="stack" number={3} height={140} />}
    </>
  )
}

function TheSession({ session }: { session: Session }) {
  const commands = useCommands()
  const isSeen = session.state !== 'STOPPED'
  return (
    <div className="stack">
      {!commands.refusal?.field && <RefusalNotice refusal={commands.refusal} dismiss={commands.dismiss} />}
      {isRunning(session) ? (
        <SessionPanel session={session} commands={commands} />
      ) : (
        <StartPanel session={session} commands={commands} />
      )}
      {isSeen && (
        <div className="session-view">
          <SessionCandles session={session} />
          <Members session={session} />
        </div>
      )}
    </div>
  )
}

import { passed, useTicking } from '../kit/times'
import { useConnection } from './connection'

/** While the service is not heard: what is on the screen may be old. */
export function ConnectionBanner() {
  const connection = useConnection()
  return (
    <div role="status" aria-label="Connection">
      {connection.state === 'reconnecting' && (
        <p className="connection-lost">
          <span aria-hidden>⟳ </span>Reconnecting… What you see may be old. <Lost since={connection.since} />
        </p>
      )}
    </div>
  )
}

/** Read out once, not every second. */
function Lost({ since }: { since: number }) {
  return <span aria-live="off">{useTicking(() => `Lost ${passed(Date.now() - since)}.`)}</span>
}

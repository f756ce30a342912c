import { Button, Facts, Panel } from '../kit/kit'
import { Instant } from '../kit/times'
import { useSymbol } from '../symbols/feed'
import { type Commands, pause, resume, stop } from './commands'
import type { Session } from './feed'
import { duration, gate } from './told'

/** How it runs, and what may be done to all of it. */
export function SessionPanel({ session, commands }: { session: Session; commands: Commands }) {
  const { state, clock, speed, epoch, version, catchupThresholdSeconds, catchupCheckInterval, quarantineAfterSeconds } = session
  const exchange = useSymbol(session.symbols[0]?.ticker ?? '')?.exchange
  const blocked = commands.isUnderWay ? 'The last command is still under way.' : undefined
  const facts = [
    ['Session time', <Instant key="clock" at={clock} exchange={exchange} />],
    ['Speed', speed ? `${speed} s a second` : 'as fast as it goes'],
    ['Gate', gate(session)],
    ['Allowed to be behind', duration(catchupThresholdSeconds)],
    ['Checked every', `${catchupCheckInterval} bars`],
    ['Quarantine', quarantineAfterSeconds === null ? 'never' : `after ${duration(quarantineAfterSeconds)}`],
    ['Epoch', epoch],
    ['Version', version],
  ] as const
  return (
    <Panel
      title="How it runs"
      actions={
        <div className="session-actions">
          {state === 'PAUSED' ? (
            <Button kind="primary" blocked={blocked} onClick={() => void commands.give(resume)}>
              Resume
            </Button>
          ) : (
            <Button blocked={blocked} onClick={() => void commands.give(pause)}>
              Pause
            </Button>
          )}
          <Button blocked={blocked} onClick={() => void commands.give(stop)}>
            Stop
          </Button>
        </div>
      }
    >
      <Facts facts={facts} />
    </Panel>
  )
}

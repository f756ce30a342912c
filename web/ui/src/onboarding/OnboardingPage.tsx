import { Imported } from './Imported'
import { ImportForm } from './ImportForm'
import { useImporting } from './importing'
import { QueuePanel } from './QueuePanel'
import { Review } from './Review'
import './onboarding.css'

export default function OnboardingPage() {
  const { checked, done } = useImporting()
  return (
    <>
      <div className="page-head">
        <h1>Onboarding</h1>
        <p className="soft">A portfolio’s file comes in; symbols that nobody has seen before are loaded while you watch.</p>
      </div>
      <div className="onboarding">
        <div className="stack">
          {done && <Imported key={done.id} done={done} />}
          <ImportForm />
          {checked && <Review key={checked.text} checked={checked} />}
        </div>
        <QueuePanel />
      </div>
    </>
  )
}

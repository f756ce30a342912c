import { Choices } from './kit'
import { chooseTheme, THEMES, type Theme, useTheme } from './theme'

const SIGNS: Record<Theme, string> = { system: 'Auto', light: 'Light', dark: 'Dark' }

export function ThemeChoice() {
  return (
    <Choices
      label="Theme"
      name="theme"
      options={THEMES.map((one) => [one, SIGNS[one]] as const)}
      value={useTheme()}
      onChange={chooseTheme}
    />
  )
}

# It is read already, and may have secrets in it.
Remove-Item -LiteralPath $MyInvocation.MyCommand.Path -Force
$start = New-Object Diagnostics.ProcessStartInfo
$start.FileName = $env:ComSpec
# Exactly so: PowerShell itself would put quotes where it thinks that they are needed.
$start.Arguments = '/d /s /c "' + $command + '"'
$start.UseShellExecute = $false
$process = [Diagnostics.Process]::Start($start)
$process.WaitForExit()
exit $process.ExitCode

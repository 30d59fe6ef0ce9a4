# It is read already, and has the password in it.
Remove-Item -LiteralPath $MyInvocation.MyCommand.Path -Force
$ErrorActionPreference = 'Stop'
$log = "$env:SystemRoot\Temp\$name.out"
$service = New-Object -ComObject 'Schedule.Service'
$service.Connect()
$task = $service.NewTask(0)
$task.Principal.RunLevel = 1
$task.Settings.ExecutionTimeLimit = 'PT0S'
# 7, which it would be, gets less of the processor and of the disks than other programs.
$task.Settings.Priority = 4
$task.Settings.DisallowStartIfOnBatteries = $false
$task.Settings.StopIfGoingOnBatteries = $false
$action = $task.Actions.Create(0)
$action.Path = "$env:SystemRoot\System32\cmd.exe"
$action.Arguments = '/c ' + $command + ' > "' + $log + '" 2>&1'
$folder = $service.GetFolder('\')
# What killed runs have left here, and does not run any more.
foreach ($old in $folder.GetTasks(1)) {
    if ($old.Name -notmatch '^packer-[0-9a-f-]{36}$' -or $old.State -ne 3 -or $old.LastTaskResult -eq 267011) { continue }
    $folder.DeleteTask($old.Name, 0)
    Remove-Item -LiteralPath "$env:SystemRoot\Temp\$($old.Name).out" -Force -ErrorAction SilentlyContinue
}
$logon = 1
if ($password -eq '') { $logon = 5; $password = $null }
$task = $folder.RegisterTaskDefinition($name, $task, 6, $user, $password, $logon, $null)
$read = 0
function Show-Log {
    if (-not (Test-Path -LiteralPath $log)) { return }
    $file = New-Object IO.FileStream($log, 'Open', 'Read', 'ReadWrite,Delete')
    try {
        [void]$file.Seek($script:read, 'Begin')
        $file.CopyTo([Console]::OpenStandardOutput())
        $script:read = $file.Position
    } finally { $file.Dispose() }
}
try {
    [void]$task.Run($null)
    # 4: it runs; 267011: it has not run yet; 267009: it runs.
    do {
        Start-Sleep -Milliseconds 250
        Show-Log
    } while ($task.State -eq 4 -or $task.State -eq 2 -or $task.LastTaskResult -eq 267011 -or $task.LastTaskResult -eq 267009)
    Show-Log
    $status = $task.LastTaskResult
} finally {
    $task.Stop(0)
    $folder.DeleteTask($name, 0)
    Remove-Item -LiteralPath $log -Force -ErrorAction SilentlyContinue
}
exit $status

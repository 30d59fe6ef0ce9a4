$ProgressPreference = 'SilentlyContinue'
[Console]::Out.WriteLine('WinRM connected.')

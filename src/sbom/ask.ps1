$ErrorActionPreference = 'SilentlyContinue'
$ProgressPreference = 'SilentlyContinue'
[Console]::OutputEncoding = [Text.Encoding]::UTF8
$keys = 'SOFTWARE', 'SOFTWARE\WOW6432Node' |
  ForEach-Object { "HKLM:\$_\Microsoft\Windows\CurrentVersion\Uninstall\*" }
$programs = @(Get-ItemProperty $keys | Where-Object DisplayName |
  Select-Object DisplayName, DisplayVersion, Publisher)
$now = Get-ItemProperty 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
ConvertTo-Json -Compress -Depth 3 @{ name = $now.ProductName
  version = "$($now.CurrentBuild).$($now.UBR)"; programs = $programs }

try {
    $ErrorActionPreference = 'Stop'
    $path = [Environment]::ExpandEnvironmentVariables([regex]::Replace($path, '\$env:(\w+)', '%$1%'))
    $path = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($path)
    if ([IO.Directory]::Exists($path)) { [Console]::Error.WriteLine("$path is a directory"); exit 64 }
    $encode = New-Object Security.Cryptography.ToBase64Transform
    $text = New-Object Security.Cryptography.CryptoStream([Console]::OpenStandardOutput(), $encode, 'Write')
    $file = [IO.File]::OpenRead($path)
    try { $file.CopyTo($text); $text.Dispose(); $file.Position = 0; $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($file) } finally { $file.Dispose() }
    [Console]::Error.Write([BitConverter]::ToString($hash).Replace('-', '').ToLower())
} catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }

try {
    $ErrorActionPreference = 'Stop'
    $path = [Environment]::ExpandEnvironmentVariables([regex]::Replace($path, '\$env:(\w+)', '%$1%'))
    $path = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($path)
    if ([IO.Directory]::Exists($path)) { [Console]::Error.WriteLine("$path is a directory"); exit 64 }
    [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($path))
    $decode = New-Object Security.Cryptography.FromBase64Transform
    $bytes = New-Object Security.Cryptography.CryptoStream([Console]::OpenStandardInput(), $decode, 'Read')
    $bytes = New-Object IO.Compression.GZipStream($bytes, [IO.Compression.CompressionMode]::Decompress)
    $file = [IO.File]::Create($path)
    try { $bytes.CopyTo($file) } finally { $file.Dispose() }
    $file = [IO.File]::OpenRead($path)
    try { $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($file) } finally { $file.Dispose() }
    [Console]::Out.Write([BitConverter]::ToString($hash).Replace('-', '').ToLower())
} catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }

try {
    $ErrorActionPreference = 'Stop'
    $decode = New-Object Security.Cryptography.FromBase64Transform
    $bytes = New-Object Security.Cryptography.CryptoStream([Console]::OpenStandardInput(), $decode, 'Read')
    $bytes = New-Object IO.Compression.GZipStream($bytes, [IO.Compression.CompressionMode]::Decompress)
    $file = New-Object IO.FileStream($held, [IO.FileMode]::Open, [IO.FileAccess]::Write, [IO.FileShare]'ReadWrite, Delete')
    $file.Position = [long]$at
    try { $bytes.CopyTo($file) } finally { $file.Dispose() }
} catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }

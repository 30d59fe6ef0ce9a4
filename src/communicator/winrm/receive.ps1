try {
    $ErrorActionPreference = 'Stop'
    $to = [Environment]::ExpandEnvironmentVariables([regex]::Replace($to, '\$env:(\w+)', '%$1%'))
    $to = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($to)
    if (-not $unpacks -and [IO.Directory]::Exists($to)) { [Console]::Error.WriteLine("$to is a directory"); exit 64 }
    $decode = New-Object Security.Cryptography.FromBase64Transform
    $bytes = New-Object Security.Cryptography.CryptoStream([Console]::OpenStandardInput(), $decode, 'Read')
    $bytes = New-Object IO.Compression.GZipStream($bytes, [IO.Compression.CompressionMode]::Decompress)
    # Windows removes it with this process, whatever ends that.
    $held = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'imgbake-' + [guid]::NewGuid())
    $held = New-Object IO.FileStream($held, [IO.FileMode]::CreateNew, [IO.FileAccess]::ReadWrite, [IO.FileShare]::None, 65536, [IO.FileOptions]::DeleteOnClose)
    $bytes.CopyTo($held)
    $held.Position = 0
    $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($held)
    $held.Position = 0
    if ($unpacks) {
        if ($name -and [IO.Directory]::Exists($to)) { $to = [IO.Path]::Combine($to, $name) }
        Add-Type -AssemblyName System.IO.Compression
        Add-Type -AssemblyName System.IO.Compression.FileSystem
        $zip = New-Object IO.Compression.ZipArchive($held, [IO.Compression.ZipArchiveMode]::Read, $true)
        [void][IO.Directory]::CreateDirectory($to)
        foreach ($entry in $zip.Entries) {
            $file = [IO.Path]::Combine($to, $entry.FullName)
            if ($entry.FullName.EndsWith('/')) { [void][IO.Directory]::CreateDirectory($file); continue }
            [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($file))
            [IO.Compression.ZipFileExtensions]::ExtractToFile($entry, $file, $true)
        }
    } else {
        [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($to))
        $file = [IO.File]::Create($to)
        try { $held.CopyTo($file) } finally { $file.Dispose() }
    }
    $held.Dispose()
    [Console]::Out.Write([BitConverter]::ToString($hash).Replace('-', '').ToLower())
} catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }

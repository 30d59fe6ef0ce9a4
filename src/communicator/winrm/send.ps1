try {
    $ErrorActionPreference = 'Stop'
    $from = [Environment]::ExpandEnvironmentVariables([regex]::Replace($from, '\$env:(\w+)', '%$1%'))
    $from = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($from)
    if (-not $packs) {
        if ([IO.Directory]::Exists($from)) { [Console]::Error.WriteLine("$from is a directory"); exit 64 }
        $file = [IO.File]::OpenRead($from)
    } else {
        if ($from -match '[*?\[]') {
            $base = [IO.Path]::GetDirectoryName($from)
            $found = @(Get-ChildItem -Path $from -Force)
            if (-not $found) { [Console]::Error.WriteLine("nothing matches $from"); exit 1 }
        } else {
            if (-not [IO.Directory]::Exists($from)) { [Console]::Error.WriteLine("$from is no directory"); exit 1 }
            $base = $from
            $found = @(Get-ChildItem -LiteralPath $from -Force)
        }
        $start = $base.TrimEnd('\').Length + 1
        Add-Type -AssemblyName System.IO.Compression
        Add-Type -AssemblyName System.IO.Compression.FileSystem
        # Windows removes it with this process, whatever ends that.
        $held = [IO.Path]::Combine([IO.Path]::GetTempPath(), 'imgbake-' + [guid]::NewGuid())
        $file = New-Object IO.FileStream($held, [IO.FileMode]::CreateNew, [IO.FileAccess]::ReadWrite, [IO.FileShare]::None, 65536, [IO.FileOptions]::DeleteOnClose)
        $zip = New-Object IO.Compression.ZipArchive($file, [IO.Compression.ZipArchiveMode]::Create, $true)
        foreach ($one in $found) {
            $all = @($one)
            if ($one.PSIsContainer) { $all += @(Get-ChildItem -LiteralPath $one.FullName -Recurse -Force) }
            foreach ($item in $all) {
                $entry = $item.FullName.Substring($start).Replace('\', '/')
                if ($item.PSIsContainer) { [void]$zip.CreateEntry("$entry/") }
                else { [void][IO.Compression.ZipFileExtensions]::CreateEntryFromFile($zip, $item.FullName, $entry, 'NoCompression') }
            }
        }
        $zip.Dispose()
        $file.Position = 0
    }
    $encode = New-Object Security.Cryptography.ToBase64Transform
    $text = New-Object Security.Cryptography.CryptoStream([Console]::OpenStandardOutput(), $encode, 'Write')
    try { $file.CopyTo($text); $text.Dispose(); $file.Position = 0; $hash = [Security.Cryptography.SHA256]::Create().ComputeHash($file) } finally { $file.Dispose() }
    [Console]::Error.Write([BitConverter]::ToString($hash).Replace('-', '').ToLower())
} catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }

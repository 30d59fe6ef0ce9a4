try {
    $ErrorActionPreference = 'Stop'
    $to = [Environment]::ExpandEnvironmentVariables([regex]::Replace($to, '\$env:(\w+)', '%$1%'))
    $to = $ExecutionContext.SessionState.Path.GetUnresolvedProviderPathFromPSPath($to)
    $archive = [Environment]::ExpandEnvironmentVariables($archive)
    if ($name -and [IO.Directory]::Exists($to)) { $to = [IO.Path]::Combine($to, $name) }
    Add-Type -AssemblyName System.IO.Compression
    Add-Type -AssemblyName System.IO.Compression.FileSystem
    $zip = [IO.Compression.ZipFile]::OpenRead($archive)
    try {
        [void][IO.Directory]::CreateDirectory($to)
        foreach ($entry in $zip.Entries) {
            $file = [IO.Path]::Combine($to, $entry.FullName)
            if ($entry.FullName.EndsWith('/')) { [void][IO.Directory]::CreateDirectory($file); continue }
            [void][IO.Directory]::CreateDirectory([IO.Path]::GetDirectoryName($file))
            [IO.Compression.ZipFileExtensions]::ExtractToFile($entry, $file, $true)
        }
    } finally { $zip.Dispose(); [IO.File]::Delete($archive) }
} catch { [Console]::Error.WriteLine($_.Exception.Message); exit 1 }
